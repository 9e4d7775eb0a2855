"""The function behind plain HTTP: an ASGI bridge, admission control, and several processes behind one port."""

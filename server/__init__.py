"""What serve.py stands on: a request as an event, and several processes behind one port."""

"""What lenslet serve stands on: a request as an event, a connection with limits, several processes behind one port."""

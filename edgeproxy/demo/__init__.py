"""The shop: a small real origin with a database, to try edgeproxy on."""

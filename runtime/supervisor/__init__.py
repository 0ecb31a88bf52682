"""The parent of one robot's processes: holds the bus and the shared memory, starts, watches, restarts, stops."""

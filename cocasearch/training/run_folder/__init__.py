"""What a run keeps beside its model folder: checkpoint, data, record, log and copies."""

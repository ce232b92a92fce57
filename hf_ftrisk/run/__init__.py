"""Any training script with its Trainers judged."""

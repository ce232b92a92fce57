"""All that is known of transformers' Trainer."""

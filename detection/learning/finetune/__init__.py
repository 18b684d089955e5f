"""Fine-tuning of fully connected layers on pooled vectors. Importing the package loads no torch; its modules do."""

"""The study of Deep Compression."""

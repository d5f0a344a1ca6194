"""Moxi's training program."""

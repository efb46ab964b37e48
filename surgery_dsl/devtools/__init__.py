"""What developers run: generating what is generated. Not part of a user's path."""

"""Labelled data with the recipe that made it. Imports no other room."""

"""Diagnosis of an agent that does not learn: the steps of an engineer, each with a verdict."""

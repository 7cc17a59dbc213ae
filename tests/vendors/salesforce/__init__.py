"""A stand-in for Salesforce: see README.md."""

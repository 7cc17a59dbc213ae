"""Exported files as a CRM: a folder of CSV or Parquet files, mapped to the common model by settings alone."""

from crmbridge.connectors.files.connector import FilesConnector
from crmbridge.connectors.files.options import ObjectOptions, Options

__all__ = ["FilesConnector", "ObjectOptions", "Options"]

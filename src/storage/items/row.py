"""What every item is: a key, whose prefix tells its kind, and attributes with short names."""

from typing import Any

from pynamodb.attributes import UnicodeAttribute
from pynamodb.models import Model

Item = dict[str, dict[str, Any]]


class Row(Model):
    """What every item has. The key's prefix tells the kind of an item; PynamoDB's discriminators are not used."""

    class Meta:
        # Models only translate; `storage.table` holds the connection, so that one process can serve several tables.
        table_name = ""

    pk = UnicodeAttribute(hash_key=True, attr_name="PK")
    sk = UnicodeAttribute(range_key=True, attr_name="SK")

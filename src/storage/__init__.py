"""The single table. The only room that imports PynamoDB or spells a key; `storage.keys` is the map."""

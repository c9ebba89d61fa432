# To take it, to wait for it, to keep it, to give it up and to look: each by itself, not one after the other.
koncli lease acquire db-migration --holder $HOSTNAME --ttl=10m
koncli lease acquire db-migration --holder $HOSTNAME --wait --timeout=5m
koncli lease renew db-migration --holder $HOSTNAME
koncli lease release db-migration --holder $HOSTNAME
koncli lease status db-migration

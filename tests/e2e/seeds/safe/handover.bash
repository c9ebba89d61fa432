# The new holder stands in the queue before the old one releases: the same write gives it the Lease.
koncli lease acquire my-lease --holder $NEW_HOLDER --ttl=10m --priority 100 --wait --timeout 5m &
while kill -0 $! && ! koncli lease status my-lease -o json | grep -q "\"id\":\"$NEW_HOLDER\""; do sleep 1; done
koncli lease release my-lease --holder $OLD_HOLDER
wait $!

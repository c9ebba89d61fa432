# The same by kubectl with the name of our kind; who holds it stands in the status, which is changed by its own path.
kubectl get leases.konductor.io my-lease -o jsonpath='{.status.holder}'
kubectl get leases.konductor.io my-lease -o jsonpath='{.status.expires}'
kubectl patch leases.konductor.io my-lease --subresource=status --type='merge' -p='{"status":{"phase":"Available","holder":""}}'
kubectl describe leases.konductor.io my-lease
kubectl get leases.konductor.io my-lease -o jsonpath='{.spec.priority}'
kubectl patch leases.konductor.io my-lease --type='merge' -p='{"spec":{"priority":50}}'

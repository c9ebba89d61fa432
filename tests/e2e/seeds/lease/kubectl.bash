# kubectl's lines for a Lease. `lease` alone is the kind of coordination.k8s.io: none of them reaches ours.
kubectl get lease my-lease -o jsonpath='{.status.holder}'
kubectl get lease my-lease -o jsonpath='{.status.expires}'
kubectl patch lease my-lease --type='merge' -p='{"status":{"phase":"Available","holder":""}}'
kubectl describe lease my-lease
kubectl get lease my-lease -o jsonpath='{.spec.priority}'
kubectl patch lease my-lease --type='merge' -p='{"spec":{"priority":50}}'

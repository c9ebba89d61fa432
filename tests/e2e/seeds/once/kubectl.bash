# What kubectl shows of a Once, when it is not executed and when it was executed twice.
kubectl get once my-once -o yaml
kubectl get once my-once -o jsonpath='{.status.phase}'
kubectl get once my-once -o jsonpath='{.status.executed}'
kubectl get once my-once -o jsonpath='{.status.executor}'
kubectl get once my-once -o jsonpath='{.status.executedAt}'
kubectl describe once my-once

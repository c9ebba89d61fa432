# To start it, and to start it again. The last is for CronJobs alone: kubectl refuses a Job.
kubectl apply -f my-job.yaml
kubectl delete job my-run-once-job
kubectl apply -f my-job.yaml
kubectl create job my-run-once-job-2 --from=job/my-run-once-job

// Command kube-apiserver is the API server of Kubernetes, as its own module has it, built without the rest of a cluster.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	_ "time/tzdata" // time zones, on a machine that has none

	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // /metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info in /metrics
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}

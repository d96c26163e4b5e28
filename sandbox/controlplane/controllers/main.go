// Command controllers is Kubernetes' controller manager.
package main

import (
	"humangov.io/sandbox/controlplane/called"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	called.Run(called.Programs{
		"kube-controller-manager": func() int { return cli.Run(controllermanager.NewControllerManagerCommand()) },
	})
}

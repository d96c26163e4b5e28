// Command node is what pods need: Kubernetes' scheduler, and the agent of a node.
package main

import (
	"context"

	"humangov.io/sandbox/controlplane/called"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	called.Run(called.Programs{
		"kube-scheduler": func() int { return cli.Run(scheduler.NewSchedulerCommand()) },
		"kubelet":        func() int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) },
	})
}

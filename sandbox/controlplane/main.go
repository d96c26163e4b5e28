// Command controlplane is etcd, the API server and the client kubectl in one binary: what every sandbox needs. What only
// some need is in binaries of their own, because it is a third of the build: ./controllers and ./node.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"humangov.io/sandbox/controlplane/called"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	called.Run(called.Programs{
		"etcd": func() int {
			etcdmain.Main(os.Args)
			return 0
		},
		"kube-apiserver": func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
		"kubectl":        runKubectl,
	})
}

// runKubectl is kubectl's own main: verbosity counts before flags are parsed, and errors are printed its own way.
func runKubectl() int {
	logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)) //nolint:errcheck // as kubectl's main does
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // exits
	}
	return 0
}

// gitops does once to one object of a cluster what a GitOps controller does all the time, with that controller's own
// code: `gitops argo|argo-server-side|flux FILE`, FILE being the object as it is in Git (JSON).
//
// It prints one JSON line: whether the controller found a difference, and what it did. KUBECONFIG says which cluster.
//
// `gitops kstatus FILE` needs no cluster: FILE is a JSON list of objects; a list of their kstatus is printed.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	argoManager = "argocd-controller"    // common.ArgoCDSSAManager of Argo CD
	fluxManager = "kustomize-controller" // of Flux
	patience    = 60 * time.Second
)

var quiet = logr.Discard()

type answer struct {
	Differs bool   `json:"differs"`
	Did     string `json:"did"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: gitops argo|argo-server-side|flux|kstatus FILE")
	}
	if arguments[0] == "kstatus" {
		return kstatus(arguments[1])
	}
	inGit, err := read(arguments[1])
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var did answer
	switch arguments[0] {
	case "argo":
		did, err = argo(ctx, config, inGit, false)
	case "argo-server-side":
		did, err = argo(ctx, config, inGit, true)
	case "flux":
		did, err = flux(ctx, config, inGit)
	default:
		err = fmt.Errorf("no such controller: %s", arguments[0])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(did)
}

// kstatus prints what whoever waits by kstatus (Flux, kubectl plugins) sees of each object.
func kstatus(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var objects []map[string]any
	if err := json.Unmarshal(text, &objects); err != nil {
		return err
	}
	found := make([]string, 0, len(objects))
	for _, object := range objects {
		result, err := status.Compute(&unstructured.Unstructured{Object: integers(object).(map[string]any)})
		if err != nil {
			return err
		}
		found = append(found, string(result.Status))
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// integers are what an unstructured object has where JSON only knows numbers.
func integers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name := range value {
			value[name] = integers(value[name])
		}
	case []any:
		for at := range value {
			value[at] = integers(value[at])
		}
	case float64:
		if value == float64(int64(value)) {
			return int64(value)
		}
	}
	return value
}

func read(file string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(text)
}

// argo compares as Argo CD does, and syncs whatever the comparison says, as a self-heal would if it found a difference.
func argo(ctx context.Context, config *rest.Config, inGit *unstructured.Unstructured, serverSide bool) (answer, error) {
	kubectl := &kube.KubectlCmd{Log: quiet, Tracer: tracing.NewLoggingTracer(quiet)}
	live, err := kubectl.GetResource(ctx, config, inGit.GroupVersionKind(), inGit.GetName(), inGit.GetNamespace())
	if err != nil {
		return answer{}, err
	}
	options := []diff.Option{diff.WithManager(argoManager)}
	if serverSide {
		applier, done, err := kubectl.ManageServerSideDiffDryRuns(config)
		if err != nil {
			return answer{}, err
		}
		defer done()
		_, parser, err := kubectl.LoadOpenAPISchema(config)
		if err != nil {
			return answer{}, err
		}
		options = append(options,
			diff.WithServerSideDiff(true), diff.WithIgnoreMutationWebhook(true), diff.WithGVKParser(parser),
			diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)))
	}
	found, err := diff.Diff(inGit.DeepCopy(), live.DeepCopy(), options...)
	if err != nil {
		return answer{}, err
	}
	both := sync.ReconciliationResult{
		Live:   []*unstructured.Unstructured{live},
		Target: []*unstructured.Unstructured{inGit.DeepCopy()},
	}
	syncing, done, err := sync.NewSyncContext("main", both, config, config, kubectl, inGit.GetNamespace(),
		sync.WithLogr(quiet), sync.WithServerSideApply(serverSide), sync.WithServerSideApplyManager(argoManager))
	if err != nil {
		return answer{}, err
	}
	defer done()
	for ctx.Err() == nil {
		syncing.Sync()
		phase, message, results := syncing.GetState()
		if !phase.Completed() {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if !phase.Successful() {
			return answer{}, fmt.Errorf("the sync ended with %s: %s %v", phase, message, results)
		}
		return answer{Differs: found.Modified, Did: string(phase)}, nil
	}
	return answer{}, ctx.Err()
}

// flux corrects drift as its kustomize-controller does: fields of kubectl's managers become its own, and what of these
// is not in Git goes.
func flux(ctx context.Context, config *rest.Config, inGit *unstructured.Unstructured) (answer, error) {
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return answer{}, err
	}
	manager := ssa.NewResourceManager(cluster, nil, ssa.Owner{Field: fluxManager, Group: "kustomize.toolkit.fluxcd.io"})
	options := ssa.DefaultApplyOptions()
	// https://github.com/fluxcd/kustomize-controller/blob/main/internal/controller/kustomization_controller.go
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: fluxManager, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	entry, err := manager.Apply(ctx, inGit.DeepCopy(), options)
	if err != nil {
		return answer{}, err
	}
	return answer{Differs: entry.Action != ssa.UnchangedAction, Did: entry.Action.String()}, nil
}

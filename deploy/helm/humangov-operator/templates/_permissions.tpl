{{/* The operator's permissions for HumanGovStates. */}}
{{- define "humangov-operator.permissions.states" -}}
- apiGroups: [humangov.io]
  resources: [humangovstates]
  verbs: [get, list, watch, patch] # patch: the finalizer, never the spec
- apiGroups: [humangov.io]
  resources: [humangovstates/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* The cluster's UID: its name in the ownership tag unless clusterName is set, and what distinguishes it from another of that name. */}}
{{- define "humangov-operator.permissions.clusterUID" -}}
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end -}}

{{/* Whether the ConfigMap is there that stops every HumanGovState. */}}
{{- define "humangov-operator.permissions.stop" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [humangov-stop]
  verbs: [get]
{{- end -}}

{{/* Who has the function's new code after an upgrade, and the former code. */}}
{{- define "humangov-operator.permissions.codeRollout" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [humangov-code-rollout]
  verbs: [get, create, patch]
{{- end -}}

{{- define "humangov-operator.permissions.subjects" -}}
- kind: ServiceAccount
  name: {{ include "humangov-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* A sweep's permissions for HumanGovStates: to read whether it may continue and which one is older, and to write status.sweep. */}}
{{- define "humangov-operator.permissions.sweep" -}}
- apiGroups: [humangov.io]
  resources: [humangovstates]
  verbs: [get, list]
- apiGroups: [humangov.io]
  resources: [humangovstates/status]
  verbs: [patch]
{{- end -}}

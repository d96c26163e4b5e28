{{/* What the operator does with HumanGovStates. */}}
{{- define "humangov-operator.rights.states" -}}
- apiGroups: [humangov.io]
  resources: [humangovstates]
  verbs: [get, list, watch, patch] # patch: the finalizer; the spec is never written
- apiGroups: [humangov.io]
  resources: [humangovstates/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* The cluster's name in the ownership tag, unless clusterName gives one. */}}
{{- define "humangov-operator.rights.clusterName" -}}
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end -}}

{{- define "humangov-operator.rights.subjects" -}}
- kind: ServiceAccount
  name: {{ include "humangov-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What a sweep does with HumanGovStates: whether it may go on, who is older, and its own part of the status. */}}
{{- define "humangov-operator.rights.sweep" -}}
- apiGroups: [humangov.io]
  resources: [humangovstates]
  verbs: [get, list]
- apiGroups: [humangov.io]
  resources: [humangovstates/status]
  verbs: [patch]
{{- end -}}

{{/* The pod spec of whatever is asked for, in CEL. The kinds are of many types, so nothing is known of their fields. */}}
{{- define "humangov-operator.admission.podOf" -}}
{{- $object := . -}}
(request.resource.resource == 'pods' ? dyn({{ $object }}).spec :
request.resource.resource == 'cronjobs' ? dyn({{ $object }}).spec.jobTemplate.spec.template.spec :
dyn({{ $object }}).spec.?template.?spec.orValue(dyn({})))
{{- end -}}

{{/* Who may change the policies installs the operator, and so may do what they refuse to others. */}}
{{- define "humangov-operator.admission.installs" -}}
authorizer.group('admissionregistration.k8s.io').resource('validatingadmissionpolicies').check('update').allowed()
{{- end -}}

{{/* What ends the objects of a namespace that is deleted, with and without a service account of its own. */}}
{{- define "humangov-operator.admission.endsNamespaces" -}}
request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager']
{{- end -}}

{{/* Labels app.kubernetes.io/name of the pods that the chart itself makes. */}}
{{- define "humangov-operator.admission.ownPods" -}}
[{{ .Chart.Name }}, {{ .Chart.Name }}-install-check, {{ .Chart.Name }}-uninstall-check]
{{- end -}}

{{/* A name, with any prefix and suffix that kustomize gave it, as a regular expression. */}}
{{- define "humangov-operator.admission.nameLike" -}}
^([a-z0-9.-]*[.-])?{{ . | replace "." "[.]" }}([.-][a-z0-9.-]*)?$
{{- end -}}

{{/*
Who asks is this service account, in any namespace, and with any prefix and suffix that kustomize gave its name. An
account whose name is only alike may not write status.
*/}}
{{- define "humangov-operator.admission.asks" -}}
request.userInfo.username.matches('^system:serviceaccount:[^:]+:{{ include "humangov-operator.admission.nameLike" . | trimPrefix "^" }}') &&
authorizer.group('humangov.io').resource('humangovstates').subresource('status').namespace(request.namespace).check('patch').allowed()
{{- end -}}

{{/* Usernames that may sign for others, in CEL. */}}
{{- define "humangov-operator.admission.signsForOthers" -}}
request.userInfo.username in {{ .Values.admissionPolicies.signForOthers | toJson }}
{{- end -}}

{{/* A binding of a policy whose parameter is the sweeps' template of the namespace that is asked about: {root, name, suffix, action}. */}}
{{- define "humangov-operator.admission.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}{{ .suffix }}
  labels:
    {{- include "humangov-operator.labels" .root | nindent 4 }}
    app.kubernetes.io/component: sweep
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  paramRef:
    selector:
      matchLabels:
        humangov.io/sweep-template: "true"
    parameterNotFoundAction: {{ .action }}
{{- end -}}

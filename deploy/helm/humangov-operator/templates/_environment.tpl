{{/* The settings of `humangov run`. */}}
{{- define "humangov-operator.env" -}}
- name: HUMANGOV_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with include "humangov-operator.env.scope" . }}
{{ . }}
{{- end }}
- name: HUMANGOV_PROBE_ADDRESS
  value: {{ printf "%s:%d" (include "humangov-operator.probeAddress" .) (int .Values.probes.port) | quote }}
- name: HUMANGOV_LEADER_ELECT
  value: {{ .Values.leaderElect | quote }}
{{- with .Values.region }}
# The region of HumanGovStates without spec.region. If you change it while HumanGovStates exist, the operator no longer
# changes their AWS resources (reason IdentityChanged).
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.clusterName }}
- name: HUMANGOV_CLUSTER_NAME
  value: {{ . | quote }}
{{- end }}
{{- with .Values.movedFrom }}
- name: HUMANGOV_MOVED_FROM
  value: {{ join " " . | quote }}
{{- end }}
{{- with .Values.permissionsBoundary }}
- name: HUMANGOV_PERMISSIONS_BOUNDARY
  value: {{ . | quote }}
{{- end }}
{{- if .Values.allowedNames }}
- name: HUMANGOV_ALLOWED_NAMES
  value: /etc/humangov/allowed-names.yaml
{{- end }}
{{- if .Values.sweep.enabled }}
- name: HUMANGOV_SWEEP_TEMPLATE
  value: {{ include "humangov-operator.fullname" . }}-sweep-template
- name: HUMANGOV_MAXIMUM_CONCURRENT_SWEEPS
  value: {{ .Values.sweep.maximumConcurrent | quote }}
{{- end }}
- name: HUMANGOV_RESYNC
  value: {{ .Values.resync | quote }}
- name: HUMANGOV_WORKERS
  value: {{ .Values.workers | quote }}
- name: HUMANGOV_AWS_LIMITS_SHARE
  value: {{ .Values.awsLimitsShare | quote }}
- name: HUMANGOV_CODE_ROLLOUT
  value: {{ .Values.codeRollout.enabled | quote }}
{{- with .Values.codeRollout.first }}
- name: HUMANGOV_CODE_ROLLOUT_FIRST
  value: {{ join " " . | quote }}
{{- end }}
- name: HUMANGOV_CODE_ROLLOUT_MINUTES
  value: {{ .Values.codeRollout.minutes | quote }}
- name: HUMANGOV_CODE_ROLLOUT_SHARE
  value: {{ .Values.codeRollout.sharePercent | quote }}
- name: HUMANGOV_LOG_FORMAT
  value: {{ .Values.logFormat }}
- name: HUMANGOV_LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- end -}}

{{/* The namespaces to watch, for both commands of the chart. */}}
{{- define "humangov-operator.env.scope" -}}
{{- with .Values.watchNamespaces -}}
- name: HUMANGOV_NAMESPACE
  value: {{ join " " . | quote }}
{{- end -}}
{{- end -}}

{{/* One probe: {root, path, timing}. */}}
{{- define "humangov-operator.probe" -}}
{{- $address := include "humangov-operator.probeAddress" .root -}}
httpGet:
  path: {{ .path }}
  port: probes
  {{- if not (has $address (list "0.0.0.0" "::")) }}
  host: {{ $address | quote }}
  {{- end }}
{{ toYaml .timing }}
{{- end -}}

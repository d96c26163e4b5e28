{{/* The name of all created objects, short enough for suffixes. */}}
{{- define "humangov-operator.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}
{{- $name = printf "%s-%s" $name .Chart.Name -}}
{{- end -}}
{{- .Values.fullnameOverride | default $name | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that a Deployment can't change. */}}
{{- define "humangov-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "humangov-operator.labels" -}}
{{ include "humangov-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "humangov-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "humangov-operator.fullname" .) -}}
{{- end -}}

{{- define "humangov-operator.sweepServiceAccountName" -}}
{{- .Values.sweep.serviceAccount.name | default (printf "%s-sweep" (include "humangov-operator.fullname" .)) -}}
{{- end -}}

{{- define "humangov-operator.reportsServiceAccountName" -}}
{{- .Values.reports.serviceAccount.name | default (printf "%s-reports" (include "humangov-operator.fullname" .)) -}}
{{- end -}}

{{- define "humangov-operator.image" -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* The address of the probe server. */}}
{{- define "humangov-operator.probeAddress" -}}
{{- .Values.probes.address | default (ternary "127.0.0.1" "0.0.0.0" .Values.hostNetwork) -}}
{{- end -}}

{{/* What every pod of the chart has: service account, scheduling, security context. */}}
{{- define "humangov-operator.pod" -}}
serviceAccountName: {{ include "humangov-operator.serviceAccountName" . }}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What every container of the chart has. */}}
{{- define "humangov-operator.container" -}}
image: {{ include "humangov-operator.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

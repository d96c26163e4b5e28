{{/* The pod of a sweep, without its arguments. */}}
{{- define "humangov-operator.sweepTemplate" -}}
{{- $pod := include "humangov-operator.pod" . | fromYaml -}}
{{- $_ := set $pod "serviceAccountName" (include "humangov-operator.sweepServiceAccountName" .) -}}
{{- $container := include "humangov-operator.container" . | fromYaml -}}
{{- $_ := set $container "resources" .Values.sweep.resources -}}
metadata:
  labels:
    app.kubernetes.io/instance: {{ .Release.Name }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- toYaml $pod | nindent 2 }}
  restartPolicy: Never
  terminationGracePeriodSeconds: 30
  containers:
    - name: sweep
      {{- toYaml $container | nindent 6 }}
      env:
        {{- include "humangov-operator.sweepEnv" . | nindent 8 }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumeMounts:
        # Scratch file for what a sweep has read.
        - name: scratch
          mountPath: /tmp
        {{- if .Values.allowedNames }}
        - name: allowed-names
          mountPath: /etc/humangov
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: scratch
      emptyDir:
        sizeLimit: {{ .Values.sweep.scratchSize }}
    {{- if .Values.allowedNames }}
    - name: allowed-names
      configMap:
        name: {{ include "humangov-operator.fullname" . }}-allowed-names
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "humangov-operator.sweepEnv" -}}
- name: HUMANGOV_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: TMPDIR
  value: /tmp
{{- with include "humangov-operator.env.scope" . }}
{{ . }}
{{- end }}
{{- with .Values.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.clusterName }}
- name: HUMANGOV_CLUSTER_NAME
  value: {{ . | quote }}
{{- end }}
{{- if .Values.allowedNames }}
- name: HUMANGOV_ALLOWED_NAMES
  value: /etc/humangov/allowed-names.yaml
{{- end }}
{{- end -}}

{{/* A CronJob of reports: {root, job: the end of its name, schedule, command, args}. */}}
{{- define "humangov-operator.reportsCronJob" -}}
{{- $root := .root -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "humangov-operator.fullname" $root }}-{{ .job }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "humangov-operator.labels" $root | nindent 4 }}
    app.kubernetes.io/component: reports
spec:
  schedule: {{ .schedule | quote }}
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      # Each attempt writes under keys of its own.
      backoffLimit: 2
      # Exit code 2 is a result, which another attempt would hide.
      podFailurePolicy:
        rules:
          - action: FailJob
            onExitCodes:
              containerName: {{ .command }}
              operator: In
              values: [2]
      activeDeadlineSeconds: 21600
      template:
        {{- include "humangov-operator.reportsPod" . | nindent 8 }}
{{- end -}}

{{- define "humangov-operator.reportsPod" -}}
{{- $root := .root -}}
{{- $pod := include "humangov-operator.pod" $root | fromYaml -}}
{{- $_ := set $pod "serviceAccountName" (include "humangov-operator.reportsServiceAccountName" $root) -}}
{{- $container := include "humangov-operator.container" $root | fromYaml -}}
{{- $_ := set $container "resources" $root.Values.reports.resources -}}
metadata:
  labels:
    {{- with omit ($root.Values.podLabels | default dict) "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    app.kubernetes.io/name: humangov-reports
    app.kubernetes.io/instance: {{ $root.Release.Name }}
spec:
  {{- toYaml $pod | nindent 2 }}
  restartPolicy: Never
  terminationGracePeriodSeconds: 30
  containers:
    - name: {{ .command }}
      {{- toYaml $container | nindent 6 }}
      args:
        - {{ .command }}
        {{- range .args }}
        - {{ . }}
        {{- end }}
      env:
        {{- include "humangov-operator.reportsEnv" $root | nindent 8 }}
        {{- if eq .command "checkpoint" }}
        {{- with $root.Values.reports.signingKey }}
        - name: HUMANGOV_REPORTS_SIGNING_KEY
          value: {{ . | quote }}
        {{- end }}
        {{- end }}
        {{- with $root.Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumeMounts:
        # The report until it is stored.
        - name: scratch
          mountPath: /tmp
        {{- with $root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: scratch
      emptyDir:
        sizeLimit: {{ $root.Values.reports.scratchSize }}
    {{- with $root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "humangov-operator.reportsEnv" -}}
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
{{- with .Values.reports }}
- name: HUMANGOV_REPORTS_BUCKET
  value: {{ .bucket | quote }}
{{- with .bucketOwner }}
- name: HUMANGOV_REPORTS_BUCKET_OWNER
  value: {{ . | quote }}
{{- end }}
{{- with .keyPrefix }}
- name: HUMANGOV_REPORTS_PREFIX
  value: {{ . | quote }}
{{- end }}
{{- with .accountRole }}
- name: HUMANGOV_REPORTS_ACCOUNT_ROLE
  value: {{ . | quote }}
{{- end }}
{{- with .kmsKey }}
- name: HUMANGOV_REPORTS_KMS_KEY
  value: {{ . | quote }}
{{- end }}
{{- if .retention.days }}
- name: HUMANGOV_REPORTS_RETENTION_DAYS
  value: {{ .retention.days | quote }}
- name: HUMANGOV_REPORTS_RETENTION_MODE
  value: {{ .retention.mode }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Which HumanGovStates there are, what each declares and reports. It writes nothing. */}}
{{- define "humangov-operator.permissions.reports" -}}
- apiGroups: [humangov.io]
  resources: [humangovstates]
  verbs: [list]
{{- end -}}

{{/* What both workloads and migration jobs run. Arguments: root, name, values, port, address, migrate. */}}
{{- define "realmgate.container" -}}
name: {{ .name }}
image: {{ include "realmgate.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .values.resources | nindent 2 }}
env:
  {{- range $name, $value := merge (dict) .values.settings (include "realmgate.environment" . | fromYaml) .root.Values.settings }}
  - {name: {{ $name }}, value: {{ $value | toString | quote }}}
  {{- end }}
  - {name: GOMEMLIMIT, value: {{ .values.goMemLimit | quote }}}
  {{- with .values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - {name: secrets, mountPath: /secrets, readOnly: true}
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The settings that the chart gives a service; .values.settings wins over them, and they over the settings of all. */}}
{{- define "realmgate.environment" -}}
ADMIN_ADDR: ":9090"
{{- if .root.Values.sharedInternalKeys }}
INTERNAL_KEYS_FILE: /secrets/internal-keys
{{- end }}
{{- if has .name (list "gateway" "users-svc") }}
USERS_INTERNAL_KEYS_FILE: /secrets/users-internal-keys
{{- end }}
{{- if has .name (list "gateway" "vault-svc") }}
VAULT_INTERNAL_KEYS_FILE: /secrets/vault-internal-keys
{{- end }}
{{- if has .name (list "gateway" "activity-svc") }}
ACTIVITY_INTERNAL_KEYS_FILE: /secrets/activity-internal-keys
{{- end }}
{{ .address }}: ":{{ .port }}"
{{- if ne .name "gateway" }}
DATABASE_URL_FILE: /secrets/database-url
DATABASE_MIGRATE: {{ not .root.Values.migrations.job | quote }}
{{- end }}
{{- if or (ne .name "vault-svc") .values.nats }}
NATS_URL_FILE: /secrets/nats-url
{{- end }}
{{- if or (eq .name "gateway") (eq .name "users-svc") }}
REDIS_URL_FILE: /secrets/redis-url
{{- end }}
{{- if eq .name "gateway" }}
USERS_URL: http://{{ .root.Release.Name }}-users-svc:8081
VAULT_URL: http://{{ .root.Release.Name }}-vault-svc:8082
ACTIVITY_URL: http://{{ .root.Release.Name }}-activity-svc:8083
JOURNAL_DIR: /data/journal
{{- end }}
{{- if eq .name "users-svc" }}
KEY_ENCRYPTION_KEY_FILE: /secrets/key-encryption-key
{{- with .values.adminEmail }}
ADMIN_EMAIL: {{ . }}
ADMIN_PASSWORD_FILE: /secrets/admin-password
{{- end }}
{{- end }}
{{- if eq .name "vault-svc" }}
VAULT_KEY_ENCRYPTION_KEY_FILE: /secrets/key-encryption-key
{{- end }}
{{- end }}

{{- define "realmgate.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "realmgate.secretsVolume" -}}
name: secrets
secret: {secretName: {{ .values.secretName }}, defaultMode: 0440}
{{- end }}

{{/* The account of the pods; empty: the namespace's default. */}}
{{- define "realmgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default .Release.Name }}{{ else }}{{ .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* The pod of a workload. */}}
{{- define "realmgate.pod" -}}
metadata:
  labels: {{- include "realmgate.labels" . | nindent 4 }}
  annotations:
    # A changed Secret restarts the pods at the next upgrade. Where the cluster cannot be asked (helm template) it stays as it is.
    checksum/secret: {{ (lookup "v1" "Secret" .root.Release.Namespace .values.secretName).data | default dict | toJson | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "realmgate.podSecurity" . | nindent 2 }}
  {{- with include "realmgate.serviceAccount" .root }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: 60
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "realmgate.selector" . | nindent 10 }}
  containers:
    - {{- include "realmgate.container" . | nindent 6 }}
        {{- if eq .name "gateway" }}
        - {name: journal, mountPath: /data/journal}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ .port }}}
        - {name: admin, containerPort: 9090}
      # /livez answers from the first moment, also while a service waits for its database: that is no reason to restart it.
      startupProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 3
        timeoutSeconds: 3
        failureThreshold: 2
  volumes:
    - {{- include "realmgate.secretsVolume" . | nindent 6 }}
    {{- if and (eq .name "gateway") (not .values.journal.persistent) }}
    - {name: journal, emptyDir: {sizeLimit: {{ .values.journal.size }}}}
    {{- end }}
    {{- with .values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The release's name is the prefix of every object. */}}
{{- define "realmgate.labels" -}}
app.kubernetes.io/part-of: realmgate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "realmgate.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: {{ .name }}
{{- end }}

{{- define "realmgate.image" -}}
{{ .root.Values.image.registry }}/{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The services behind the gateway: name, their part of the values, port, and the setting of their address. */}}
{{- define "realmgate.services" -}}
- {name: users-svc, values: usersSvc, port: 8081, address: USERS_ADDR}
- {name: vault-svc, values: vaultSvc, port: 8082, address: VAULT_ADDR}
- {name: activity-svc, values: activitySvc, port: 8083, address: ACTIVITY_ADDR}
{{- end }}

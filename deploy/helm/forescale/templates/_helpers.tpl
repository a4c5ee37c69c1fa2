{{/* The start of every name: short enough for the longest that is made of it. */}}
{{- define "forescale.name" -}}
{{- $name := ternary .Release.Name (printf "%s-forescale" .Release.Name) (contains "forescale" .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* list context, component: the labels that select its pods, and never change. */}}
{{- define "forescale.selector" -}}
app.kubernetes.io/name: forescale
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* list context, component */}}
{{- define "forescale.labels" -}}
{{- $ := index . 0 -}}
{{ include "forescale.selector" . }}
app.kubernetes.io/version: {{ include "forescale.tag" $ | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "forescale-%s" $.Chart.Version }}
{{- end -}}

{{- define "forescale.tag" -}}{{ .Values.image.tag | default .Chart.AppVersion }}{{- end -}}

{{/* list context, program */}}
{{- define "forescale.image" -}}
{{- $ := index . 0 -}}
{{- with $.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ index . 1 }}:{{ include "forescale.tag" $ }}
{{- end -}}

{{/* The server's address for whoever is in the cluster. */}}
{{- define "forescale.serverURL" -}}
{{ ternary "https" "http" (ne .Values.server.tls.secretName "") }}://{{ include "forescale.name" . }}-server.{{ .Release.Namespace }}.svc:8650
{{- end -}}

{{/* What is wrong with values together; a schema sees each by itself. */}}
{{- define "forescale.check" -}}
{{- if not .Values.server.clients }}
{{- fail "server.clients: is empty, so that nobody could ask the server. List the scaler at least: {name: scaler, token: sha256:…, rights: [predict]}, as 'forescale token' prints it" }}
{{- end }}
{{- if not (or .Values.server.tls.secretName .Values.server.allowPlaintext) }}
{{- fail "server.tls.secretName: is empty, so that tokens would travel in clear text. Name a Secret of type kubernetes.io/tls with ca.crt, or set server.allowPlaintext: true where something else encrypts" }}
{{- end }}
{{- if not .Values.scaler.serverToken.secretName }}
{{- fail "scaler.serverToken.secretName: is empty. Name the Secret that holds the scaler's token for the server" }}
{{- end }}
{{- if not (dig "scaler" "groups" list .Values.config) }}
{{- fail "config.scaler.groups: is empty. Name what is to be scaled, as in {name: web, target: kube, target_name: shop/deployments/web, min: 2, max: 40}" }}
{{- end }}
{{- if not (dig "collector" "sources" list .Values.config) }}
{{- fail "config.collector.sources: is empty. Name where metrics come from, such as prometheus or cloudwatch (docs/sources.md)" }}
{{- end }}
{{- if and .Values.monitoring.enabled (not .Values.monitoring.serverToken.secretName) }}
{{- fail "monitoring.serverToken.secretName: is empty. Name a Secret with the token of a client with the right metrics" }}
{{- end }}
{{- end -}}

{{/* forescale.yaml: what the user says, and over it what only the chart can know. */}}
{{- define "forescale.config" -}}
{{- include "forescale.check" . -}}
{{- $own := dict
  "data" (required "data: is empty. Name the data lake: s3://BUCKET/PREFIX?region=…" .Values.data)
  "models" (required "models: is empty. Name the model registry: s3://BUCKET/PREFIX?region=…" .Values.models)
  "collector" (dict "metrics_listen" "0.0.0.0:9464" "spool" (dict "dir" "/var/lib/forescale/spool"))
  "server" (dict "listen" "0.0.0.0:8650" "clients" .Values.server.clients
    "drain_delay" (printf "%ds" (int .Values.server.drain.delaySeconds))
    "drain_timeout" (printf "%ds" (int .Values.server.drain.timeoutSeconds)))
  "scaler" (dict "metrics_listen" "0.0.0.0:9465" "server" (include "forescale.serverURL" .)
    "server_token" (dict "file" (printf "/etc/forescale/server-token/%s" .Values.scaler.serverToken.key))
    "election" (dict "lease" (printf "%s-scaler" (include "forescale.name" .)) "duration" .Values.scaler.lease.duration))
-}}
{{- if .Values.server.tls.secretName }}
{{- $_ := set $own.server "tls" (dict "cert_file" "/etc/forescale/tls/tls.crt" "key_file" "/etc/forescale/tls/tls.key") }}
{{- $_ := set $own.scaler "server_ca_file" "/etc/forescale/server-ca/ca.crt" }}
{{- else }}
{{- $_ := set $own.server "allow_plaintext" true }}
{{- $_ := set $own.scaler "server_allow_plaintext" true }}
{{- end }}
{{- if .Values.calendar.configMapName }}
{{- $_ := set $own "calendar" "/etc/forescale/calendar/business_calendar.json" }}
{{- end }}
{{- if .Values.retrain.signingKey.secretName }}
{{- $_ := set $own "model_signing_key" (dict "file" (printf "/etc/forescale/signing-key/%s" .Values.retrain.signingKey.key)) }}
{{- end }}
{{- $config := mergeOverwrite (deepCopy .Values.config) $own }}
{{- if not .Values.scaler.live }}
{{- range $config.scaler.groups }}{{ $_ := set . "mode" "dry-run" }}{{ end }}
{{- end }}
{{- toYaml $config }}
{{- end -}}

{{/* list context, component: what every pod has. */}}
{{- define "forescale.podMeta" -}}
labels:
  {{- include "forescale.labels" . | nindent 2 }}
annotations:
  checksum/config: {{ include "forescale.config" (index . 0) | sha256sum }}
{{- end -}}

{{/* list context, component, whether it speaks to the API server */}}
{{- define "forescale.podSpec" -}}
{{- $ := index . 0 -}}
serviceAccountName: {{ include "forescale.name" $ }}-{{ index . 1 }}
automountServiceAccountToken: {{ index . 2 }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* list context, program, resources: what every container has. */}}
{{- define "forescale.container" -}}
{{- $ := index . 0 -}}
image: {{ include "forescale.image" (list $ (index . 1)) | quote }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml (index . 2) | nindent 2 }}
{{- with $.Values.credentials.secretName }}
env:
  - name: AWS_ACCESS_KEY_ID
    valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}}
  - name: AWS_SECRET_ACCESS_KEY
    valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- end -}}

{{/* The mounts and volumes of every pod: configuration, calendar, a place to write. */}}
{{- define "forescale.mounts" -}}
- {name: config, mountPath: /etc/forescale/forescale.yaml, subPath: forescale.yaml, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .Values.calendar.configMapName }}
- {name: calendar, mountPath: /etc/forescale/calendar, readOnly: true}
{{- end }}
{{- end -}}

{{- define "forescale.volumes" -}}
- name: config
  configMap: {name: {{ include "forescale.name" . }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- if .Values.calendar.configMapName }}
- name: calendar
  configMap: {name: {{ .Values.calendar.configMapName }}}
{{- end }}
{{- end -}}

{{/* names of Secrets */}}
{{- define "forescale.secretMounts" -}}
{{- range . }}
- {name: secret-{{ . }}, mountPath: /etc/forescale/secrets/{{ . }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "forescale.secretVolumes" -}}
{{- range . }}
- name: secret-{{ . }}
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* The scaler asks the server for forecasts; both may tell it what they have done. */}}
{{- define "forescale.clients" -}}
matchLabels: {app.kubernetes.io/name: forescale, app.kubernetes.io/instance: {{ .Release.Name }}}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: [collector, scaler]}
{{- end -}}

{{- define "ksit.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* The installation's name. 40 characters leave room for the suffixes of Pods and Leases. */}}
{{- define "ksit.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains (include "ksit.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "ksit.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "ksit.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ksit.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ksit.labels" -}}
{{ include "ksit.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ksit.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "ksit.fullname" .) }}
{{- end }}

{{- define "ksit.user" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "ksit.serviceAccountName" .) }}
{{- end }}

{{- define "ksit.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- /* The watched namespaces as a JSON list, for fromJsonArray. */}}
{{- define "ksit.namespaces" -}}
{{- if and .Values.clusterWide .Values.watchNamespaces }}
{{- fail "clusterWide and watchNamespaces: set only one of them" }}
{{- end }}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | toJson }}
{{- end }}

{{- /* The namespaces that an admission policy covers. */}}
{{- define "ksit.namespaceSelector" -}}
{{- if .Values.clusterWide -}}
{}
{{- else -}}
{ matchExpressions: [{ key: kubernetes.io/metadata.name, operator: In, values: {{ include "ksit.namespaces" . }} }] }
{{- end }}
{{- end }}

{{- /* Converts a duration such as 1m30s to seconds. */}}
{{- define "ksit.seconds" -}}
{{- $hours := regexFind "[0-9]+h" . | trimSuffix "h" | default "0" | int }}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | default "0" | int }}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | default "0" | int }}
{{- add (mul $hours 3600) (mul $minutes 60) $seconds }}
{{- end }}

{{- define "ksit.port" -}}
{{- regexFind "[0-9]+$" . }}
{{- end }}

{{- define "ksit.job" -}}
{{- .Values.prometheusRule.job | default (printf "%s/%s" .Release.Namespace (include "ksit.fullname" .)) }}
{{- end }}

{{- define "ksit.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- define "ksit.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurityContext.runAsUser }}
runAsGroup: {{ .Values.podSecurityContext.runAsGroup }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

package config

import (
	"github.com/outflow-db/outflow/backends"
)

// settingsOfTypes says for each type that describes itself what the settings of its backends are.
func settingsOfTypes(types []string) (all []any) {
	for _, typ := range types {
		if known, ok := backends.SettingsOf(typ); ok {
			all = append(all, object{
				"if":   object{"type": "object", "properties": object{"type": object{"const": typ}}, "required": []string{"type"}},
				"then": object{"properties": object{"settings": mapping("Settings of "+typ+".", fieldsSchema(known.Backend))}},
			})
		}
	}
	return all
}

// targetSchema is what the settings of a projection may be: those of one of the types, since which backend it is a schema
// cannot look up. One type that does not describe itself makes it take anything.
func targetSchema(types []string) object {
	about := "The target's settings, as the type of backend knows them."
	var all []any
	for _, typ := range types {
		known, ok := backends.SettingsOf(typ)
		if !ok {
			return settingsSchema(about)
		}
		all = append(all, mapping("Settings of a target of "+typ+".", fieldsSchema(known.Target)))
	}
	if len(all) == 0 {
		return settingsSchema(about)
	}
	return object{"description": about, "anyOf": all}
}

func fieldsSchema(known map[string]backends.Setting) object {
	fields := object{}
	for name, s := range known {
		fields[name] = settingSchema(s)
	}
	return fields
}

// settingSchema is a setting, or nothing, or a reference that yields it.
func settingSchema(s backends.Setting) object {
	form := formSchema(s)
	if len(form) == 0 {
		return form
	}
	forms := []any{form, object{"type": "null"}}
	if s.Shape == backends.List {
		forms = append(forms, settingSchema(*s.Of))
	}
	if s.Or != nil {
		forms = append(forms, settingSchema(*s.Or))
	}
	if s.Shape != backends.Mapping && s.Shape != backends.Names && s.Shape != backends.List {
		forms = append(forms, reference)
	}
	o := object{"anyOf": forms}
	if s.About != "" {
		o["description"] = s.About
	}
	return o
}

func formSchema(s backends.Setting) object {
	switch s.Shape {
	case backends.Text:
		return textSchema(s)
	case backends.Whole:
		if s.Least == 0 && s.Most == 0 {
			return object{"type": "integer"}
		}
		return object{"type": "integer", "minimum": s.Least, "maximum": s.Most}
	case backends.Number:
		return object{"type": "number"}
	case backends.Flag:
		return object{"type": "boolean"}
	case backends.Span:
		return object{"type": "string", "pattern": spanPattern}
	case backends.List:
		return object{"type": "array", "items": settingSchema(*s.Of)}
	case backends.Mapping:
		o := object{"type": "object", "properties": fieldsSchema(s.Fields), "additionalProperties": false}
		if len(s.Required) > 0 {
			o["required"] = s.Required
		}
		return o
	case backends.Names:
		return object{"type": "object", "additionalProperties": settingSchema(*s.Of)}
	default:
		return object{}
	}
}

// spanPattern is a time span as Go reads it.
const spanPattern = `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

func textSchema(s backends.Setting) object {
	o := object{"type": "string"}
	if len(s.Words) > 0 {
		o = object{"enum": s.Words}
	}
	if s.Pattern != "" {
		o["pattern"] = s.Pattern
	}
	return o
}

package config

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/config/spell"
)

// Form is how one kind of value is written in the file.
type Form struct {
	Name    string   // in the reference and in messages, with its article
	Text    string   // for the reference: what is allowed
	Example string   // a right value
	JSON    []string // the JSON types by which it may arrive: string, integer, number, boolean
	Pattern string   // a regular expression that every right string matches; it may let wrong ones through
	parse   func(text string) (any, *mistake)
}

// formOf returns the form of the field called name of a struct called owner, whose leaf type is t.
func formOf(owner, name string, t reflect.Type) (Form, error) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return durationForm(), nil
	case reflect.TypeFor[Size]():
		return sizeForm(), nil
	case reflect.TypeFor[Host]():
		return domainForm(), nil
	case reflect.TypeFor[HostPattern]():
		return hostPatternForm(), nil
	case reflect.TypeFor[PathPattern]():
		return pathPatternForm(), nil
	case reflect.TypeFor[ForwardTarget]():
		return forwardForm(), nil
	case reflect.TypeFor[Address]():
		return addressForm(), nil
	case reflect.TypeFor[SiteName](), reflect.TypeFor[NodeID](), reflect.TypeFor[ClusterName](), reflect.TypeFor[Parent](), reflect.TypeFor[ProgramName]():
		return labelForm(), nil
	case reflect.TypeFor[netip.Addr]():
		return addrForm(), nil
	case reflect.TypeFor[netip.Prefix]():
		return prefixForm(), nil
	case reflect.TypeFor[url.URL]():
		return urlForm(), nil
	case reflect.TypeFor[QueryKey](), reflect.TypeFor[SetCookie](), reflect.TypeFor[PurgeMode](), reflect.TypeFor[Toggle](),
		reflect.TypeFor[programs.Isolation](), reflect.TypeFor[programs.Machine]():
		return wordForm(), nil
	case reflect.TypeFor[StatusPattern]():
		return statusForm(), nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return boolForm(), nil
	case reflect.Int:
		return intForm(), nil
	case reflect.Int64:
		return sizeForm(), nil
	case reflect.Float64:
		return floatForm(), nil
	case reflect.String:
		return textFormOf(owner + "." + name)
	default:
		return Form{}, fmt.Errorf("no form for %s of %s.%s", t, owner, name)
	}
}

// textFormOf returns the form of a field that has no type of its own.
func textFormOf(field string) (Form, error) {
	switch field {
	case "Rule.Name", "Program.Tenant", "ValueLimits.Tenants by name":
		return labelForm(), nil
	case "Log.Level":
		return wordForm(), nil
	case "DNS.Contact":
		return mailboxForm(), nil
	case "DNS.GeoDatabase":
		return fileForm("/var/lib/wherry/geo.mmdb"), nil
	case "Fetch.CAFile":
		return fileForm("/etc/wherry/origin-ca.pem"), nil
	case "TLS.Certificate":
		return fileForm("/etc/wherry/shop.pem"), nil
	case "TLS.Key":
		return fileForm("/etc/wherry/shop-key.pem"), nil
	case "Log.Access":
		return destinationForm(), nil
	case "Fetch.Host":
		return upstreamHostForm(), nil
	case "Health.Path":
		return pathForm(), nil
	case "Match.Methods":
		return methodForm(), nil
	case "Key.QueryOnly":
		return parameterForm(), nil
	case "Key.QueryDrop":
		return parameterPatternForm(), nil
	case "Key.Headers":
		return headerForm(), nil
	case "Key.Cookies":
		return cookieForm(), nil
	case "Volume.Dir":
		return directoryForm(), nil
	default:
		if f, ok := programForm(field); ok {
			return f, nil
		}
		return Form{}, fmt.Errorf("no form for %s", field)
	}
}

func (f *Form) Takes(jsonType string) bool {
	for _, t := range f.JSON {
		if t == jsonType {
			return true
		}
	}
	return false
}

// wordForm is for fields with `one of:`, which says what is right.
func wordForm() Form {
	return Form{
		Name: "a word", Text: "one of the listed words", JSON: []string{"string"},
		parse: func(text string) (any, *mistake) { return text, nil },
	}
}

func boolForm() Form {
	return Form{
		Name: "a truth value", Text: "`true` or `false`", Example: "true", JSON: []string{"boolean"},
		parse: func(text string) (any, *mistake) {
			switch strings.ToLower(text) {
			case "true":
				return true, nil
			case "false":
				return false, nil
			case "yes", "on", "y":
				return nil, &mistake{quoted(text) + " is not a truth value here", "write true"}
			case "no", "off", "n":
				return nil, &mistake{quoted(text) + " is not a truth value here", "write false"}
			}
			return nil, &mistake{quoted(text) + " is not a truth value", "write true or false"}
		},
	}
}

func intForm() Form {
	// 010 is eight to YAML 1.1 and ten to YAML 1.2: refused, as are the other bases.
	decimal := regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	return Form{
		Name: "a whole number", Text: "in decimal digits", Example: "2", JSON: []string{"integer"},
		parse: func(text string) (any, *mistake) {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || !decimal.MatchString(text) {
				return nil, &mistake{quoted(text) + " is not a whole number", "write decimal digits, such as 2"}
			}
			return int(n), nil
		},
	}
}

func floatForm() Form {
	decimal := regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]*)?$`)
	return Form{
		Name: "a number", Text: "decimal, with or without a fraction", Example: "38.72", JSON: []string{"number", "integer"},
		parse: func(text string) (any, *mistake) {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || !decimal.MatchString(text) || math.IsInf(n, 0) {
				return nil, &mistake{quoted(text) + " is not a decimal number", "write one such as 38.72"}
			}
			return n, nil
		},
	}
}

func durationForm() Form {
	const pattern = `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	shape := regexp.MustCompile(pattern)
	days := regexp.MustCompile(`^([0-9]{1,4})d$`)
	digits := regexp.MustCompile(`^[0-9]{1,9}$`)
	return Form{
		Name: "a duration", Text: "a number with a unit, or several: `500ms`, `20s`, `1h30m`. Units: ns, us, ms, s, m, h",
		Example: "20s", JSON: []string{"string"}, Pattern: pattern,
		parse: func(text string) (any, *mistake) {
			if digits.MatchString(text) {
				return nil, &mistake{quoted(text) + " has no unit", "write " + text + "s for seconds"}
			}
			if m := days.FindStringSubmatch(text); m != nil {
				n, _ := strconv.Atoi(m[1])
				return nil, &mistake{quoted(text) + " counts in days, which is no unit here", fmt.Sprintf("write %dh", 24*n)}
			}
			d, err := time.ParseDuration(text)
			switch {
			case strings.HasPrefix(text, "-"):
				return nil, &mistake{quoted(text) + " is negative", "write a duration from 0s up"}
			case err != nil, !shape.MatchString(text):
				return nil, &mistake{quoted(text) + " is not a duration", "write one such as 20s, 500ms or 1h30m"}
			}
			return d, nil
		},
	}
}

// sizeUnits returns the units in which sizes are written, smallest first.
func sizeUnits() []string { return []string{"KiB", "MiB", "GiB", "TiB"} }

func sizeForm() Form {
	shape := regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)
	units := spell.Either(sizeUnits())
	return Form{
		Name:    "a size",
		Text:    "bytes, or a whole number with a unit: `512`, `64KiB`, `32MiB`, `2GiB`, `1TiB`. One KiB is 1024 bytes",
		Example: "64KiB", JSON: []string{"integer", "string"}, Pattern: `^[0-9]+(KiB|MiB|GiB|TiB)?$`,
		parse: func(text string) (any, *mistake) {
			m := shape.FindStringSubmatch(text)
			if m == nil {
				return nil, &mistake{
					quoted(text) + " is not a size", "write a whole number of bytes, or one with " + units + ", such as 64KiB",
				}
			}
			n, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil || len(m[1]) > 1 && m[1][0] == '0' {
				return nil, &mistake{quoted(m[1]) + " is not a number of bytes", "write one such as 64KiB"}
			}
			if m[2] == "" && !strings.HasSuffix(text, " ") {
				return Size(n), nil
			}
			for i, unit := range sizeUnits() {
				if text != m[1]+unit {
					continue
				}
				shift := 10 * (i + 1)
				if n > math.MaxInt64>>shift {
					return nil, &mistake{quoted(text) + " is more than can be counted", "write less"}
				}
				return Size(n << shift), nil
			}
			for _, unit := range sizeUnits() {
				if m[2] != "" && strings.EqualFold(m[2][:1], unit[:1]) {
					return nil, &mistake{quoted(text) + " has an unknown unit", "write " + m[1] + unit + " (1 KiB is 1024 bytes)"}
				}
			}
			return nil, &mistake{quoted(text) + " has an unknown unit", "write plain bytes or one of " + units}
		},
	}
}

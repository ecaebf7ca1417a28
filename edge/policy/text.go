package policy

import "github.com/wherry/wherry/config"

// RuleText names a rule for the trace.
func RuleText(rule *config.Rule) string {
	if rule == nil {
		return "no rule"
	}
	return "rule " + rule.Name
}

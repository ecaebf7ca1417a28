package policy

import (
	"strings"

	"github.com/wherry/wherry/config"
)

// MayBeHealth says whether path may be config.HealthPath when it is decoded.
func MayBeHealth(path string) bool {
	return path == config.HealthPath || len(path) > len(config.HealthPath) && len(path)-2*strings.Count(path, "%") == len(config.HealthPath)
}

package feed

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
)

// SecretsOf returns the names of the secrets that settings name, without those that stand there twice. A file is an error: nodes have none of whoever applied it.
func SecretsOf(n *config.Network) (list []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(n.Programs)) {
		secrets := n.Programs[name].Secrets
		for _, variable := range slices.Sorted(maps.Keys(secrets)) {
			id, kept := programs.KeptSecret(secrets[variable])
			if !kept { // what stands there may be the secret itself
				return nil, fmt.Errorf("programs.%s.secrets.%s: what stands there is none that control keeps, and nodes have no files of yours: wherry program secret set %s %s FILE sends one, and names it",
					name, variable, name, variable)
			}
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// serve answers lines. Each answer says how many there were, so that one who resets it sees whether that worked.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	in := bufio.NewReader(os.Stdin)
	count, seen := 0, map[string][]byte{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		count++
		line = strings.TrimSpace(line)
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			v = map[string]any{"error": err.Error()}
		}
		seen[line] = make([]byte, 300<<10)
		rand.Read(seen[line][:16])
		v["count"], v["seen"] = count, len(seen)
		if _, err := os.Stat("/tmp/mark"); err == nil {
			v["mark"] = true
		}
		_ = os.WriteFile("/tmp/mark", []byte(line), 0o600)
		b, _ := json.Marshal(v)
		fmt.Printf("%s %x\n", b, seen[line][:4])
	}
}

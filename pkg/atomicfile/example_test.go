package atomicfile_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/realmgate/realmgate/pkg/atomicfile"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "atomicfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "position")
	for _, position := range []string{"41", "42"} {
		if err := atomicfile.Write(path, []byte(position)); err != nil {
			fmt.Println(err)
		}
	}
	content, err := os.ReadFile(path)
	fmt.Printf("%s %v\n", content, err)
	// Output: 42 <nil>
}

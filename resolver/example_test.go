package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sondeprobe/sonde/resolver"
)

func ExampleResolver_LookUp() {
	r, err := resolver.New(resolver.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	answer, err := r.LookUp(context.Background(), "sonde.localhost", resolver.IPv4, time.Now().Add(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Name, answer.Addrs, "local:", answer.Local)
	// Output: sonde.localhost [127.0.0.1] local: true
}

func ExampleError() {
	r, err := resolver.New(resolver.Config{Hosts: os.DevNull})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	_, err = r.LookUp(context.Background(), "nowhere.invalid", resolver.Any, time.Time{})
	fmt.Println(errors.Is(err, resolver.ErrNXDomain))
	fmt.Println(err)
	// Output:
	// true
	// no such name: nowhere.invalid
}

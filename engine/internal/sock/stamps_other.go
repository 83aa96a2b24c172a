//go:build !linux

package sock

// Stamps is for systems whose stamps are read; here it does nothing.
type Stamps struct{}

// HoldStamps does nothing.
func HoldStamps() (*Stamps, error) { return &Stamps{}, nil }

// Close does nothing.
func (*Stamps) Close() error { return nil }

package rdb

import "fmt"

// kind is one way in which a value is stored.
type kind struct {
	name string // of the type, as the command TYPE has it
	skip func(*source) error
}

// kinds are the types of values by their code.
var kinds = map[byte]kind{
	0:  {"string", one},
	1:  {"list", many(func(s *source) error { return s.strings(1) })},
	2:  {"set", many(func(s *source) error { return s.strings(1) })},
	3:  {"zset", many(func(s *source) error { return first(s.strings(1), s.oldDouble) })},
	4:  {"hash", many(func(s *source) error { return s.strings(2) })},
	5:  {"zset", many(func(s *source) error { return first(s.strings(1), s.eight) })},
	7:  {"module", func(s *source) error { return first(s.lengths(1), s.module) }},
	9:  {"hash", one},
	10: {"list", one},
	11: {"set", one},
	12: {"zset", one},
	13: {"hash", one},
	14: {"list", many(one)},
	15: {"stream", stream(1)},
	16: {"hash", one},
	17: {"zset", one},
	18: {"list", many(func(s *source) error { return first(s.lengths(1), func() error { return s.strings(1) }) })},
	19: {"stream", stream(2)},
	20: {"set", one},
	21: {"stream", stream(3)},
	24: {"hash", func(s *source) error { return first(s.eight(), func() error { return many(expiringField)(s) }) }},
	25: {"hash", func(s *source) error { return first(s.eight(), func() error { return s.strings(1) }) }},
}

func one(s *source) error { return s.strings(1) }

// many reads a count and then so many elements.
func many(element func(*source) error) func(*source) error {
	return func(s *source) error {
		n, err := s.plain()
		for ; err == nil && n > 0; n-- {
			err = element(s)
		}
		return err
	}
}

// first goes on only where what came before went well.
func first(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func (s *source) eight() error { return s.skip(8) }

// oldDouble is a number in digits, with three lengths that stand for what has none.
func (s *source) oldDouble() error {
	n, err := s.byte()
	if err != nil || n >= 253 {
		return err
	}
	return s.skip(int64(n))
}

func expiringField(s *source) error {
	return first(s.lengths(1), func() error { return s.strings(2) })
}

// module walks over what a module has stored, to its end mark.
func (s *source) module() error {
	for {
		code, err := s.plain()
		if err != nil {
			return err
		}
		switch code {
		case 0:
			return nil
		case 1, 2:
			err = s.lengths(1)
		case 3:
			err = s.skip(4)
		case 4:
			err = s.skip(8)
		case 5:
			err = s.strings(1)
		default:
			err = fmt.Errorf("%w: byte %d is nothing that a module stores (%d)", ErrDamaged, s.offset-1, code)
		}
		if err != nil {
			return err
		}
	}
}

// stream walks over a stream in one of its three versions: entries, then consumer groups.
func stream(version int) func(*source) error {
	rawID, millis := int64(16), int64(8)
	pending := func(s *source) error {
		return first(s.skip(rawID+millis), func() error { return s.lengths(1) })
	}
	consumer := func(s *source) error {
		times := millis
		if version >= 3 {
			times += millis
		}
		if err := first(s.strings(1), func() error { return s.skip(times) }); err != nil {
			return err
		}
		return many(func(s *source) error { return s.skip(rawID) })(s)
	}
	group := func(s *source) error {
		lengths := uint64(2)
		if version >= 2 {
			lengths = 3
		}
		if err := first(s.strings(1), func() error { return s.lengths(lengths) }); err != nil {
			return err
		}
		return first(many(pending)(s), func() error { return many(consumer)(s) })
	}
	return func(s *source) error {
		lengths := uint64(3)
		if version >= 2 {
			lengths = 8
		}
		if err := many(func(s *source) error { return s.strings(2) })(s); err != nil {
			return err
		}
		return first(s.lengths(lengths), func() error { return many(group)(s) })
	}
}

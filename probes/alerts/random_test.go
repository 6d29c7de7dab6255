package alerts

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestRandomStoriesAreAsInPrometheus compares random stories: some in every run, and for as long as CAPTOP_LONG says
// (10m, 2h) where it is set. CAPTOP_SEED repeats one that failed.
func TestRandomStoriesAreAsInPrometheus(t *testing.T) {
	seed, stories, until := rand.Uint64(), 12, time.Time{}
	if text := os.Getenv("CAPTOP_SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CAPTOP_SEED: %v", err)
		}
		seed, stories = given, 1
	} else if text := os.Getenv("CAPTOP_LONG"); text != "" {
		long, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("CAPTOP_LONG: %v", err)
		}
		until = time.Now().Add(long)
	}
	for i := 0; i < stories || time.Now().Before(until); i++ {
		seed := seed + uint64(i)
		t.Run(fmt.Sprintf("CAPTOP_SEED=%d", seed), func(t *testing.T) {
			randomStory(seed).compare(t)
		})
		if t.Failed() {
			return
		}
	}
}

// randomStory makes a story of one to three targets, in which values wander, counters restart, and scrapes fail.
func randomStory(seed uint64) scenario {
	random := rand.New(rand.NewPCG(seed, 0))
	s := scenario{name: "random", rules: "testdata/parity.yml", step: time.Second, job: "app", targets: map[string][]scrape{}}
	if random.IntN(3) == 0 {
		s.step = 5 * time.Second
	}
	length := 60 + random.IntN(60)
	for i := range 1 + random.IntN(3) {
		s.targets[string(rune('a'+i))] = randomTarget(random, length)
	}
	return s
}

// randomTarget makes the scrapes of one target. All numbers are whole, so that sums do not depend on their order.
func randomTarget(random *rand.Rand, length int) []scrape {
	var scrapes []scrape
	good, bad, slow, value, state := 0.0, 0.0, 0.0, 4.0, 0.0
	for len(scrapes) < length {
		if random.IntN(25) == 0 {
			why := []outcome{missed, failed, garbled, forgotten, answered}[random.IntN(5)]
			scrapes = append(scrapes, without(1+random.IntN(12), why)...)
			continue
		}
		if random.IntN(30) == 0 {
			good, bad, slow = 0, 0, 0
		}
		if random.IntN(4) == 0 {
			value = float64(random.IntN(15))
		}
		if random.IntN(12) == 0 {
			state = float64(random.IntN(3))
		}
		good += float64(random.IntN(4) * random.IntN(4))
		if random.IntN(6) == 0 {
			bad += float64(random.IntN(3))
			slow += float64(random.IntN(3))
		}
		page := map[string]float64{
			"limit": 6, "state": state,
			`requests_total{status="200"}`: good, `requests_total{status="503"}`: bad,
			`latency_seconds_bucket{le="0.1"}`: good, `latency_seconds_bucket{le="0.5"}`: good + bad,
			`latency_seconds_bucket{le="1.0"}`: good + bad + slow, `latency_seconds_bucket{le="+Inf"}`: good + bad + slow,
		}
		for _, node := range []string{"db_g1", "db_g2"} {
			if random.IntN(10) > 0 {
				page[fmt.Sprintf("value{node=%q}", node)] = value + float64(random.IntN(2))
			}
		}
		scrapes = append(scrapes, scrape{page: page})
	}
	return scrapes[:length]
}

package kube

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/forescale/forescale/api"
)

// pod is the part of a Pod (v1) that is used here.
type pod struct {
	Metadata struct {
		Name    string    `json:"name"`
		Created time.Time `json:"creationTimestamp"`
		Deleted time.Time `json:"deletionTimestamp"` // zero: it is not being deleted
	} `json:"metadata"`
	Status struct {
		Phase      string      `json:"phase"`
		Conditions []condition `json:"conditions"`
		Containers []struct {
			State struct {
				Waiting struct {
					Reason  string `json:"reason"`
					Message string `json:"message"`
				} `json:"waiting"`
			} `json:"state"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"` // True, False or Unknown
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// gone reports whether the pod takes no load any more, ready or not: one that is
// being deleted leaves its Service at once, while it may go on for long.
func (p *pod) gone() bool {
	return !p.Metadata.Deleted.IsZero() || p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed"
}

func (p *pod) condition(name string) condition {
	for _, c := range p.Status.Conditions {
		if c.Type == name {
			return c
		}
	}
	return condition{}
}

// fault returns why a pod that is not ready will not soon be, "" when it only
// takes its time.
func (p *pod) fault() string {
	if c := p.condition("PodScheduled"); c.Status == "False" {
		return fmt.Sprintf("pod %s: %s: %s", p.Metadata.Name, c.Reason, c.Message)
	}
	for _, c := range p.Status.Containers {
		switch w := c.State.Waiting; w.Reason {
		case "", "ContainerCreating", "PodInitializing":
		default:
			return fmt.Sprintf("pod %s: %s: %s", p.Metadata.Name, w.Reason, w.Message)
		}
	}
	return ""
}

// maxFault bounds the text of a LaunchError, in characters: messages of the scheduler
// name every node.
const maxFault = 500

// countPods counts the pods of a selector into c.
func (t *Target) countPods(ctx context.Context, namespace, selector string, c *api.Capacity) error {
	var newest time.Time
	var ready, pending int
	var fault string
	err := list(ctx, t.client, "/api/v1/namespaces/"+namespace+"/pods", url.Values{"labelSelector": {selector}}, func(p *pod) {
		switch {
		case p.gone():
		case p.condition("Ready").Status == "True":
			ready++
		default:
			pending++
			if why := p.fault(); why != "" && !p.Metadata.Created.Before(newest) {
				newest, fault = p.Metadata.Created, why
			}
		}
	})
	if err != nil {
		return err
	}
	c.InService, c.Pending, c.LaunchError = ready, pending, fmt.Sprintf("%.*s", maxFault, fault)
	return nil
}

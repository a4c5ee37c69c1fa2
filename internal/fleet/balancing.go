package fleet

import "fmt"

// The part of Elastic Load Balancing that tells which load balancers forward to a
// target group.
const (
	balancingVersion   = "2015-12-01"
	balancingNamespace = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	targetGroupsPage   = 400
)

type xmlTargetGroupsResult struct {
	TargetGroups []xmlTargetGroup `xml:"TargetGroups>member"`
	NextMarker   string           `xml:"NextMarker,omitempty"`
}

type xmlTargetGroup struct {
	ARN           string   `xml:"TargetGroupArn"`
	Name          string   `xml:"TargetGroupName"`
	LoadBalancers []string `xml:"LoadBalancerArns>member"`
}

// balancingARN returns the full name of a load balancer or target group.
func (g *group) balancingARN(resource string) string {
	return fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:%s", g.region(), g.Account, resource)
}

// describeTargetGroups answers DescribeTargetGroups with all of the caller's.
func (c *Cloud) describeTargetGroups(form request) (any, *apiError) {
	var all []xmlTargetGroup
	for _, g := range c.groups {
		if form.from.sees(g) {
			all = append(all, xmlTargetGroup{g.balancingARN(g.TargetGroup), g.Name, []string{g.balancingARN("loadbalancer/" + g.LoadBalancer)}})
		}
	}
	// Paging is that of Auto Scaling under other names.
	form.Set("NextToken", form.Get("Marker"))
	size, given, err := integer(form, "PageSize")
	switch {
	case err != nil:
		return nil, err
	case !given:
		size = targetGroupsPage
	case size < 1 || size > targetGroupsPage:
		return nil, validation("1 validation error detected: Value '%d' at 'pageSize' must be 1 to %d", size, targetGroupsPage)
	}
	from, to, next, err := page(form, len(all), size)
	if err != nil {
		return nil, err
	}
	return &xmlTargetGroupsResult{all[from:to], next}, nil
}

/* Every parameter that an action knows, as patterns of the Query protocol ("N" is a
 * number): what is not here is UnknownParameter. The names are those of Amazon's service
 * model of late 2025. DryRun, Action and Version go with every action. */
#include "lab/api.h"

#include "base/str.h"

static const struct {
    const char *action, *known;
} table[] = {
    {"AssumeRole",
     "RoleArn RoleSessionName PolicyArns.member.N.arn Policy DurationSeconds "
     "Tags.member.N.Key Tags.member.N.Value TransitiveTagKeys.member.N "
     "ExternalId SerialNumber TokenCode SourceIdentity"},
    {"AttachVolume", "Device InstanceId VolumeId EbsCardIndex"},
    {"AuthorizeSecurityGroupEgress",
     "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
     "TagSpecification.N.Tag.N.Value GroupId SourceSecurityGroupName "
     "SourceSecurityGroupOwnerId IpProtocol FromPort ToPort CidrIp "
     "IpPermissions.N.IpProtocol IpPermissions.N.FromPort "
     "IpPermissions.N.ToPort IpPermissions.N.Groups.N.Description "
     "IpPermissions.N.Groups.N.UserId IpPermissions.N.Groups.N.GroupName "
     "IpPermissions.N.Groups.N.GroupId IpPermissions.N.Groups.N.VpcId "
     "IpPermissions.N.Groups.N.VpcPeeringConnectionId "
     "IpPermissions.N.Groups.N.PeeringStatus "
     "IpPermissions.N.IpRanges.N.Description "
     "IpPermissions.N.IpRanges.N.CidrIp "
     "IpPermissions.N.Ipv6Ranges.N.Description "
     "IpPermissions.N.Ipv6Ranges.N.CidrIpv6 "
     "IpPermissions.N.PrefixListIds.N.Description "
     "IpPermissions.N.PrefixListIds.N.PrefixListId"},
    {"AuthorizeSecurityGroupIngress",
     "CidrIp FromPort GroupId GroupName IpPermissions.N.IpProtocol "
     "IpPermissions.N.FromPort IpPermissions.N.ToPort "
     "IpPermissions.N.Groups.N.Description IpPermissions.N.Groups.N.UserId "
     "IpPermissions.N.Groups.N.GroupName IpPermissions.N.Groups.N.GroupId "
     "IpPermissions.N.Groups.N.VpcId "
     "IpPermissions.N.Groups.N.VpcPeeringConnectionId "
     "IpPermissions.N.Groups.N.PeeringStatus "
     "IpPermissions.N.IpRanges.N.Description "
     "IpPermissions.N.IpRanges.N.CidrIp "
     "IpPermissions.N.Ipv6Ranges.N.Description "
     "IpPermissions.N.Ipv6Ranges.N.CidrIpv6 "
     "IpPermissions.N.PrefixListIds.N.Description "
     "IpPermissions.N.PrefixListIds.N.PrefixListId IpProtocol "
     "SourceSecurityGroupName SourceSecurityGroupOwnerId ToPort "
     "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
     "TagSpecification.N.Tag.N.Value"},
    {"CancelImportTask", "CancelReason ImportTaskId"},
    {"CopyImage", "ClientToken Description Encrypted KmsKeyId Name SourceImageId "
                  "SourceRegion DestinationOutpostArn CopyImageTags "
                  "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
                  "TagSpecification.N.Tag.N.Value SnapshotCopyCompletionDurationMinutes "
                  "DestinationAvailabilityZone DestinationAvailabilityZoneId"},
    {"CopySnapshot",
     "Description DestinationOutpostArn DestinationRegion Encrypted KmsKeyId "
     "PresignedUrl SourceRegion SourceSnapshotId "
     "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
     "TagSpecification.N.Tag.N.Value CompletionDurationMinutes "
     "DestinationAvailabilityZone"},
    {"CopyVolumes", "SourceVolumeId Iops Size VolumeType TagSpecification.N.ResourceType "
                    "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value "
                    "MultiAttachEnabled Throughput ClientToken"},
    {"CreateImage",
     "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
     "TagSpecification.N.Tag.N.Value SnapshotLocation InstanceId Name "
     "Description NoReboot BlockDeviceMapping.N.Ebs.DeleteOnTermination "
     "BlockDeviceMapping.N.Ebs.Iops BlockDeviceMapping.N.Ebs.SnapshotId "
     "BlockDeviceMapping.N.Ebs.VolumeSize BlockDeviceMapping.N.Ebs.VolumeType "
     "BlockDeviceMapping.N.Ebs.KmsKeyId BlockDeviceMapping.N.Ebs.Throughput "
     "BlockDeviceMapping.N.Ebs.OutpostArn "
     "BlockDeviceMapping.N.Ebs.AvailabilityZone "
     "BlockDeviceMapping.N.Ebs.Encrypted "
     "BlockDeviceMapping.N.Ebs.VolumeInitializationRate "
     "BlockDeviceMapping.N.Ebs.AvailabilityZoneId "
     "BlockDeviceMapping.N.Ebs.EbsCardIndex BlockDeviceMapping.N.NoDevice "
     "BlockDeviceMapping.N.DeviceName BlockDeviceMapping.N.VirtualName"},
    {"CreateKeyPair",
     "KeyName KeyType TagSpecification.N.ResourceType "
     "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value KeyFormat"},
    {"CreateRole",
     "Path RoleName AssumeRolePolicyDocument Description MaxSessionDuration "
     "PermissionsBoundary Tags.member.N.Key Tags.member.N.Value"},
    {"CreateSecurityGroup",
     "GroupDescription GroupName VpcId TagSpecification.N.ResourceType "
     "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value"},
    {"CreateSnapshot",
     "Description OutpostArn VolumeId TagSpecification.N.ResourceType "
     "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value Location"},
    {"CreateSnapshots", "Description InstanceSpecification.InstanceId "
                        "InstanceSpecification.ExcludeBootVolume "
                        "InstanceSpecification.ExcludeDataVolumeId.N OutpostArn "
                        "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
                        "TagSpecification.N.Tag.N.Value CopyTagsFromSource Location"},
    {"CreateTags", "ResourceId.N Tag.N.Key Tag.N.Value"},
    {"CreateVolume",
     "AvailabilityZone AvailabilityZoneId Encrypted Iops KmsKeyId OutpostArn "
     "Size SnapshotId VolumeType TagSpecification.N.ResourceType "
     "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value "
     "MultiAttachEnabled Throughput ClientToken VolumeInitializationRate "
     "Operator.Principal"},
    {"DeleteKeyPair", "KeyName KeyPairId"},
    {"DeleteRole", "RoleName"},
    {"DeleteRolePolicy", "RoleName PolicyName"},
    {"DeleteSecurityGroup", "GroupId GroupName"},
    {"DeleteSnapshot", "SnapshotId"},
    {"DeleteTags", "ResourceId.N Tag.N.Key Tag.N.Value"},
    {"DeleteVolume", "VolumeId"},
    {"DeregisterImage", "ImageId DeleteAssociatedSnapshots"},
    {"DescribeAccountAttributes", "AttributeName.N"},
    {"DescribeAvailabilityZones",
     "ZoneName.N ZoneId.N AllAvailabilityZones Filter.N.Name Filter.N.Value.N"},
    {"DescribeImageAttribute", "Attribute ImageId"},
    {"DescribeImages",
     "ExecutableBy.N ImageId.N Owner.N IncludeDeprecated IncludeDisabled "
     "MaxResults NextToken Filter.N.Name Filter.N.Value.N"},
    {"DescribeImportImageTasks",
     "Filters.N.Name Filters.N.Value.N ImportTaskId.N MaxResults NextToken"},
    {"DescribeImportSnapshotTasks",
     "Filters.N.Name Filters.N.Value.N ImportTaskId.N MaxResults NextToken"},
    {"DescribeInstanceAttribute", "InstanceId Attribute"},
    {"DescribeInstanceStatus",
     "InstanceId.N MaxResults NextToken IncludeManagedResources Filter.N.Name "
     "Filter.N.Value.N IncludeAllInstances"},
    {"DescribeInstanceTypeOfferings",
     "LocationType Filter.N.Name Filter.N.Value.N MaxResults NextToken"},
    {"DescribeInstanceTypes",
     "InstanceType.N Filter.N.Name Filter.N.Value.N MaxResults NextToken "
     "IncludeUnsupportedInRegion"},
    {"DescribeInstances",
     "InstanceId.N IncludeManagedResources Filter.N.Name Filter.N.Value.N "
     "NextToken MaxResults"},
    {"DescribeKeyPairs",
     "KeyName.N KeyPairId.N IncludePublicKey Filter.N.Name Filter.N.Value.N"},
    {"DescribeNetworkInterfaces",
     "NextToken MaxResults IncludeManagedResources NetworkInterfaceId.N "
     "Filter.N.Name Filter.N.Value.N"},
    {"DescribeRegions", "RegionName.N AllRegions Filter.N.Name Filter.N.Value.N"},
    {"DescribeSecurityGroups", "GroupId.N GroupName.N NextToken MaxResults Filter.N.Name "
                               "Filter.N.Value.N"},
    {"DescribeSnapshotAttribute", "Attribute SnapshotId"},
    {"DescribeSnapshots",
     "MaxResults NextToken Owner.N RestorableBy.N SnapshotId.N Filter.N.Name "
     "Filter.N.Value.N"},
    {"DescribeSubnets", "Filter.N.Name Filter.N.Value.N SubnetId.N NextToken MaxResults"},
    {"DescribeTags", "Filter.N.Name Filter.N.Value.N MaxResults NextToken"},
    {"DescribeVolumeAttribute", "Attribute VolumeId"},
    {"DescribeVolumeStatus",
     "MaxResults NextToken VolumeId.N IncludeManagedResources Filter.N.Name "
     "Filter.N.Value.N"},
    {"DescribeVolumes",
     "VolumeId.N IncludeManagedResources Filter.N.Name Filter.N.Value.N "
     "NextToken MaxResults"},
    {"DescribeVolumesModifications",
     "VolumeId.N Filter.N.Name Filter.N.Value.N NextToken MaxResults"},
    {"DescribeVpcs", "Filter.N.Name Filter.N.Value.N VpcId.N NextToken MaxResults"},
    {"DetachVolume", "Device Force InstanceId VolumeId"},
    {"EnableVolumeIO", "VolumeId"},
    {"GetCallerIdentity", ""},
    {"GetConsoleOutput", "InstanceId Latest"},
    {"GetConsoleScreenshot", "InstanceId WakeUp"},
    {"GetEbsEncryptionByDefault", ""},
    {"GetRole", "RoleName"},
    {"GetRolePolicy", "RoleName PolicyName"},
    {"ImportImage",
     "Architecture ClientData.Comment ClientData.UploadEnd "
     "ClientData.UploadSize ClientData.UploadStart ClientToken Description "
     "DiskContainer.N.Description DiskContainer.N.DeviceName "
     "DiskContainer.N.Format DiskContainer.N.SnapshotId DiskContainer.N.Url "
     "DiskContainer.N.UserBucket.S3Bucket DiskContainer.N.UserBucket.S3Key "
     "Encrypted Hypervisor KmsKeyId LicenseType Platform RoleName "
     "LicenseSpecifications.N.LicenseConfigurationArn "
     "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
     "TagSpecification.N.Tag.N.Value UsageOperation BootMode"},
    {"ImportKeyPair", "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
                      "TagSpecification.N.Tag.N.Value KeyName PublicKeyMaterial"},
    {"ImportSnapshot", "ClientData.Comment ClientData.UploadEnd ClientData.UploadSize "
                       "ClientData.UploadStart ClientToken Description "
                       "DiskContainer.Description DiskContainer.Format DiskContainer.Url "
                       "DiskContainer.UserBucket.S3Bucket DiskContainer.UserBucket.S3Key "
                       "Encrypted KmsKeyId RoleName TagSpecification.N.ResourceType "
                       "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value"},
    {"ListRolePolicies", "RoleName Marker MaxItems"},
    {"ModifyImageAttribute",
     "Attribute Description.Value ImageId "
     "LaunchPermission.Add.N.OrganizationArn "
     "LaunchPermission.Add.N.OrganizationalUnitArn "
     "LaunchPermission.Add.N.UserId LaunchPermission.Add.N.Group "
     "LaunchPermission.Remove.N.OrganizationArn "
     "LaunchPermission.Remove.N.OrganizationalUnitArn "
     "LaunchPermission.Remove.N.UserId LaunchPermission.Remove.N.Group "
     "OperationType ProductCode.N UserGroup.N UserId.N Value "
     "OrganizationArn.N OrganizationalUnitArn.N ImdsSupport.Value"},
    {"ModifyInstanceAttribute",
     "SourceDestCheck.Value DisableApiStop.Value InstanceId Attribute Value "
     "BlockDeviceMapping.N.DeviceName BlockDeviceMapping.N.Ebs.VolumeId "
     "BlockDeviceMapping.N.Ebs.DeleteOnTermination "
     "BlockDeviceMapping.N.VirtualName BlockDeviceMapping.N.NoDevice "
     "DisableApiTermination.Value InstanceType.Value Kernel.Value "
     "Ramdisk.Value UserData.Value InstanceInitiatedShutdownBehavior.Value "
     "GroupId.N EbsOptimized.Value SriovNetSupport.Value EnaSupport.Value"},
    {"ModifyInstanceMetadataOptions",
     "InstanceId HttpTokens HttpPutResponseHopLimit HttpEndpoint "
     "HttpProtocolIpv6 InstanceMetadataTags"},
    {"ModifySnapshotAttribute",
     "Attribute CreateVolumePermission.Add.N.UserId "
     "CreateVolumePermission.Add.N.Group "
     "CreateVolumePermission.Remove.N.UserId "
     "CreateVolumePermission.Remove.N.Group UserGroup.N OperationType "
     "SnapshotId UserId.N"},
    {"ModifyVolume", "VolumeId Size VolumeType Iops Throughput MultiAttachEnabled"},
    {"ModifyVolumeAttribute", "AutoEnableIO.Value VolumeId"},
    {"PutRolePolicy", "RoleName PolicyName PolicyDocument"},
    {"RebootInstances", "InstanceId.N"},
    {"RegisterImage",
     "ImageLocation BillingProduct.N BootMode TpmSupport UefiData ImdsSupport "
     "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "
     "TagSpecification.N.Tag.N.Value Name Description Architecture KernelId "
     "RamdiskId RootDeviceName BlockDeviceMapping.N.Ebs.DeleteOnTermination "
     "BlockDeviceMapping.N.Ebs.Iops BlockDeviceMapping.N.Ebs.SnapshotId "
     "BlockDeviceMapping.N.Ebs.VolumeSize BlockDeviceMapping.N.Ebs.VolumeType "
     "BlockDeviceMapping.N.Ebs.KmsKeyId BlockDeviceMapping.N.Ebs.Throughput "
     "BlockDeviceMapping.N.Ebs.OutpostArn "
     "BlockDeviceMapping.N.Ebs.AvailabilityZone "
     "BlockDeviceMapping.N.Ebs.Encrypted "
     "BlockDeviceMapping.N.Ebs.VolumeInitializationRate "
     "BlockDeviceMapping.N.Ebs.AvailabilityZoneId "
     "BlockDeviceMapping.N.Ebs.EbsCardIndex BlockDeviceMapping.N.NoDevice "
     "BlockDeviceMapping.N.DeviceName BlockDeviceMapping.N.VirtualName "
     "VirtualizationType SriovNetSupport EnaSupport"},
    {"RevokeSecurityGroupEgress",
     "SecurityGroupRuleId.N GroupId SourceSecurityGroupName "
     "SourceSecurityGroupOwnerId IpProtocol FromPort ToPort CidrIp "
     "IpPermissions.N.IpProtocol IpPermissions.N.FromPort "
     "IpPermissions.N.ToPort IpPermissions.N.Groups.N.Description "
     "IpPermissions.N.Groups.N.UserId IpPermissions.N.Groups.N.GroupName "
     "IpPermissions.N.Groups.N.GroupId IpPermissions.N.Groups.N.VpcId "
     "IpPermissions.N.Groups.N.VpcPeeringConnectionId "
     "IpPermissions.N.Groups.N.PeeringStatus "
     "IpPermissions.N.IpRanges.N.Description "
     "IpPermissions.N.IpRanges.N.CidrIp "
     "IpPermissions.N.Ipv6Ranges.N.Description "
     "IpPermissions.N.Ipv6Ranges.N.CidrIpv6 "
     "IpPermissions.N.PrefixListIds.N.Description "
     "IpPermissions.N.PrefixListIds.N.PrefixListId"},
    {"RevokeSecurityGroupIngress",
     "CidrIp FromPort GroupId GroupName IpPermissions.N.IpProtocol "
     "IpPermissions.N.FromPort IpPermissions.N.ToPort "
     "IpPermissions.N.Groups.N.Description IpPermissions.N.Groups.N.UserId "
     "IpPermissions.N.Groups.N.GroupName IpPermissions.N.Groups.N.GroupId "
     "IpPermissions.N.Groups.N.VpcId "
     "IpPermissions.N.Groups.N.VpcPeeringConnectionId "
     "IpPermissions.N.Groups.N.PeeringStatus "
     "IpPermissions.N.IpRanges.N.Description "
     "IpPermissions.N.IpRanges.N.CidrIp "
     "IpPermissions.N.Ipv6Ranges.N.Description "
     "IpPermissions.N.Ipv6Ranges.N.CidrIpv6 "
     "IpPermissions.N.PrefixListIds.N.Description "
     "IpPermissions.N.PrefixListIds.N.PrefixListId IpProtocol "
     "SourceSecurityGroupName SourceSecurityGroupOwnerId ToPort "
     "SecurityGroupRuleId.N"},
    {"RunInstances",
     "BlockDeviceMapping.N.Ebs.DeleteOnTermination "
     "BlockDeviceMapping.N.Ebs.Iops BlockDeviceMapping.N.Ebs.SnapshotId "
     "BlockDeviceMapping.N.Ebs.VolumeSize BlockDeviceMapping.N.Ebs.VolumeType "
     "BlockDeviceMapping.N.Ebs.KmsKeyId BlockDeviceMapping.N.Ebs.Throughput "
     "BlockDeviceMapping.N.Ebs.OutpostArn "
     "BlockDeviceMapping.N.Ebs.AvailabilityZone "
     "BlockDeviceMapping.N.Ebs.Encrypted "
     "BlockDeviceMapping.N.Ebs.VolumeInitializationRate "
     "BlockDeviceMapping.N.Ebs.AvailabilityZoneId "
     "BlockDeviceMapping.N.Ebs.EbsCardIndex BlockDeviceMapping.N.NoDevice "
     "BlockDeviceMapping.N.DeviceName BlockDeviceMapping.N.VirtualName "
     "ImageId InstanceType Ipv6AddressCount Ipv6Address.N.Ipv6Address "
     "Ipv6Address.N.IsPrimaryIpv6 KernelId KeyName MaxCount MinCount "
     "Monitoring.Enabled Placement.AvailabilityZoneId Placement.Affinity "
     "Placement.GroupName Placement.PartitionNumber Placement.HostId "
     "Placement.Tenancy Placement.SpreadDomain Placement.HostResourceGroupArn "
     "Placement.GroupId Placement.AvailabilityZone RamdiskId "
     "SecurityGroupId.N SecurityGroup.N SubnetId UserData "
     "ElasticGpuSpecification.N.Type ElasticInferenceAccelerator.N.Type "
     "ElasticInferenceAccelerator.N.Count TagSpecification.N.ResourceType "
     "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value "
     "LaunchTemplate.LaunchTemplateId LaunchTemplate.LaunchTemplateName "
     "LaunchTemplate.Version InstanceMarketOptions.MarketType "
     "InstanceMarketOptions.SpotOptions.MaxPrice "
     "InstanceMarketOptions.SpotOptions.SpotInstanceType "
     "InstanceMarketOptions.SpotOptions.BlockDurationMinutes "
     "InstanceMarketOptions.SpotOptions.ValidUntil "
     "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior "
     "CreditSpecification.CpuCredits CpuOptions.CoreCount "
     "CpuOptions.ThreadsPerCore CpuOptions.AmdSevSnp "
     "CpuOptions.NestedVirtualization "
     "CapacityReservationSpecification.CapacityReservationPreference "
     "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId "
     "CapacityReservationSpecification.CapacityReservationTarget."
     "CapacityReservationResourceGroupArn "
     "HibernationOptions.Configured "
     "LicenseSpecification.N.LicenseConfigurationArn "
     "MetadataOptions.HttpTokens MetadataOptions.HttpPutResponseHopLimit "
     "MetadataOptions.HttpEndpoint MetadataOptions.HttpProtocolIpv6 "
     "MetadataOptions.InstanceMetadataTags EnclaveOptions.Enabled "
     "PrivateDnsNameOptions.HostnameType "
     "PrivateDnsNameOptions.EnableResourceNameDnsARecord "
     "PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord "
     "MaintenanceOptions.AutoRecovery DisableApiStop EnablePrimaryIpv6 "
     "NetworkPerformanceOptions.BandwidthWeighting Operator.Principal "
     "SecondaryInterface.N.DeleteOnTermination "
     "SecondaryInterface.N.DeviceIndex "
     "SecondaryInterface.N.PrivateIpAddress.N.PrivateIpAddress "
     "SecondaryInterface.N.PrivateIpAddressCount "
     "SecondaryInterface.N.SecondarySubnetId "
     "SecondaryInterface.N.InterfaceType "
     "SecondaryInterface.N.NetworkCardIndex DisableApiTermination "
     "InstanceInitiatedShutdownBehavior PrivateIpAddress ClientToken "
     "AdditionalInfo NetworkInterface.N.AssociatePublicIpAddress "
     "NetworkInterface.N.DeleteOnTermination NetworkInterface.N.Description "
     "NetworkInterface.N.DeviceIndex NetworkInterface.N.SecurityGroupId.N "
     "NetworkInterface.N.Ipv6AddressCount "
     "NetworkInterface.N.Ipv6Addresses.N.Ipv6Address "
     "NetworkInterface.N.Ipv6Addresses.N.IsPrimaryIpv6 "
     "NetworkInterface.N.NetworkInterfaceId "
     "NetworkInterface.N.PrivateIpAddress "
     "NetworkInterface.N.PrivateIpAddresses.N.Primary "
     "NetworkInterface.N.PrivateIpAddresses.N.PrivateIpAddress "
     "NetworkInterface.N.SecondaryPrivateIpAddressCount "
     "NetworkInterface.N.SubnetId "
     "NetworkInterface.N.AssociateCarrierIpAddress "
     "NetworkInterface.N.InterfaceType NetworkInterface.N.NetworkCardIndex "
     "NetworkInterface.N.Ipv4Prefix.N.Ipv4Prefix "
     "NetworkInterface.N.Ipv4PrefixCount "
     "NetworkInterface.N.Ipv6Prefix.N.Ipv6Prefix "
     "NetworkInterface.N.Ipv6PrefixCount NetworkInterface.N.PrimaryIpv6 "
     "NetworkInterface.N.EnaSrdSpecification.EnaSrdEnabled "
     "NetworkInterface.N.EnaSrdSpecification.EnaSrdUdpSpecification.EnaSrdUdpEnabled "
     "NetworkInterface.N.ConnectionTrackingSpecification.TcpEstablishedTimeout "
     "NetworkInterface.N.ConnectionTrackingSpecification.UdpStreamTimeout "
     "NetworkInterface.N.ConnectionTrackingSpecification.UdpTimeout "
     "NetworkInterface.N.EnaQueueCount IamInstanceProfile.Arn "
     "IamInstanceProfile.Name EbsOptimized"},
    {"StartInstances", "InstanceId.N AdditionalInfo"},
    {"StopInstances", "InstanceId.N Hibernate SkipOsShutdown Force"},
    {"TerminateInstances", "InstanceId.N Force SkipOsShutdown"},
    {"UpdateAssumeRolePolicy", "RoleName PolicyDocument"},
};

const char *params_known(const char *action)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(table[i].action, action))
            return table[i].known;
    return NULL;
}
